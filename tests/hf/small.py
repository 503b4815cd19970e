"""Networks of each family with weights at random, so small that a file of one takes a moment."""

from typing import Any

import torch
import transformers
from torch import Tensor, nn

_WIDE: dict[str, Any] = {"vocab_size": 96, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4}


def llama(**how: Any) -> nn.Module:
    config = transformers.LlamaConfig(**_WIDE, intermediate_size=48, num_key_value_heads=2, tie_word_embeddings=True,
                                      max_position_embeddings=64, eos_token_id=2, use_cache=False, **how)  # fmt: skip
    return transformers.LlamaForCausalLM(config)


def gpt2() -> nn.Module:
    config = transformers.GPT2Config(vocab_size=96, n_embd=32, n_layer=1, n_head=4, n_positions=64,
                                     bos_token_id=1, eos_token_id=2, use_cache=False)  # fmt: skip
    return transformers.GPT2LMHeadModel(config)


def bert() -> nn.Module:
    config = transformers.BertConfig(**_WIDE, intermediate_size=48, max_position_embeddings=64)
    return transformers.BertModel(config, add_pooling_layer=False)


def mixtral() -> nn.Module:
    config = transformers.MixtralConfig(**_WIDE, intermediate_size=24, num_key_value_heads=2, num_local_experts=8,
                                        num_experts_per_tok=2, eos_token_id=2, use_cache=False)  # fmt: skip
    return transformers.MixtralForCausalLM(config)


def sharp(network: nn.Module) -> nn.Module:
    """A network whose outputs vary: weights as they are made at first say next to nothing."""
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim > 1:
                parameter.mul_(6.0)
    return network.eval()


def sentences(samples: int = 20, length: int = 12) -> list[dict[str, Tensor]]:
    """Batches of tokens, of which every second sequence is shorter than the others."""
    ids = torch.randint(3, 60, (samples, length), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[::2, length - 3 :] = 0
    return [{"input_ids": ids[at : at + 10], "attention_mask": mask[at : at + 10]} for at in range(0, samples, 10)]
