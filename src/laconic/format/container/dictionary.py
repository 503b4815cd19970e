"""What tables of small files have in common: deflate finds it here, and need not say it again."""

DICTIONARY = b"".join(
    [
        b"encoder.layer.0.attention.self.query.key.value.output.LayerNorm.intermediate.dense.pooler",
        b"embeddings.word_embeddings.position_embeddings.token_type_embeddings",
        b"transformer.h.0.attn.c_attn.c_proj.c_fc.ln_1.wte.wpe",
        b"model.embed_tokens.layers.0.self_attn.q_proj.k_proj.v_proj.o_proj.mlp.gate_proj.up_proj.down_proj",
        b"input_layernorm.post_attention_layernorm.norm.lm_head",
        b"features.0.blocks.0.stem.head.classifier.downsample.block.layer1.0.bn1.conv1.linear.fc1.",
        b"num_batches_tracked.running_mean.running_var",
        b"\x0freference_bytes\x05\x06\x07\x03data\x06digits\x07cifar10\x05mnist\x03net\x08resnet20\x06lenet5\x08lenet300",
        b"\x0dpreprocessing\x09pixels/16\x0apixels/255\x0apixels/256",
        b"0.weightbias1.weightbiasrunning_meanvarnum_batches_tracked",
        b"fc1.biasweight2.biasweight3.biasweightconv1.biasweight2.biasweight",
        b"\x0f\x0f\x0f\x0f\x0f\x0f\x0f\x0f\x0f\x0f\x0f\x0f",
        b"\x07\x07\x07\x07\x07\x07\x07\x07\x07\x07",
        b"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00",
        b"\x01\x02\x01\x02\x01\x02\x01\x02\x01\x02",
        b"\x01\x04\x01\x04\x01\x04",
        b"\x00\x04\x00\x04\x00\x04\x00\x04\x00\x04",
        b"\x03\x03\x03\x03\x03\x03\x03\x03\x03\x03",
        b"\x01\x03\x01\x03\x01\x03\x01\x03",
        b"\x02\x03\x04\x01\x02\x03\x04\x01\x02\x03\x04\x01\x02\x03\x04\x01",
    ]
)
"""Names and metadata as networks have them, then columns as codes have them: what is met most stands last."""
