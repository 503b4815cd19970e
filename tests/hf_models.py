"""Small models of transformers with random weights, in folders as the library writes them."""

import torch
import transformers


def llama(folder, **how):
    """Write a language model with tied embeddings, in bfloat16, and return it."""
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=128, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, tie_word_embeddings=True,
    )  # fmt: skip
    return written(transformers.LlamaForCausalLM(config).bfloat16(), folder, **how)


def bert(folder, **how):
    """Write an encoder, whose names a task's class puts a prefix before, and return it."""
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=64, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48
    )
    return written(transformers.BertModel(config), folder, **how)


def experts(folder, **how):
    """Write a mixture of experts, whose weights the library merges as it reads them, and return it."""
    torch.manual_seed(0)
    config = transformers.MixtralConfig(
        vocab_size=64, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, num_local_experts=2,
    )  # fmt: skip
    return written(transformers.MixtralForCausalLM(config), folder, **how)


def written(model, folder, **how):
    model.save_pretrained(folder, **how)
    return model.eval()
