"""Vision transformers of transformers and timm with random weights, and what they make of an image."""

import numpy as np
import torch

from guided_jax.backbones.vit.architecture import VITS, Architecture
from tests.guided_jax.backbones.torch_operators import name_operators


def make_hf(name: str) -> torch.nn.Module:
    """The model of `transformers` that a row of the table names."""
    name_operators()
    import transformers

    a = VITS[name]
    kinds = {"DINOv3": "DINOv3ViT", "DINOv2": "Dinov2WithRegisters" if a.registers else "Dinov2"}
    kind = kinds[a.family]
    sizes = {"hidden_size": a.width, "num_hidden_layers": a.depth, "num_attention_heads": a.heads}
    sizes |= {"patch_size": a.patch, "layer_norm_eps": a.eps}
    sizes |= {"image_size": a.learned * a.patch} if a.learned else {"intermediate_size": 4 * a.width}
    sizes |= {"num_register_tokens": a.registers} if a.registers else {}
    model = getattr(transformers, f"{kind}Model")(getattr(transformers, f"{kind}Config")(**sizes))
    return randomise(model)


TIMM = {"dinov2-tiny": "patch14_dinov2", "dinov2-tiny-registers": "patch14_reg4_dinov2"}
TIMM |= {"dinov3-tiny": "patch16_dinov3_qkvb", "dinov3-s": "patch16_dinov3_qkvb"}


def make_timm(name: str, kind: str | None = None) -> torch.nn.Module:
    """The model of `timm` that a row of the table names, for images of any size."""
    name_operators()
    import timm

    a = VITS[name]
    sizes = {"embed_dim": a.width, "depth": a.depth, "num_heads": a.heads, "num_classes": 0, "dynamic_img_size": True}
    sizes |= {"img_size": a.learned * a.patch} if a.learned else {}
    return randomise(timm.create_model(f"vit_small_{kind or TIMM[name]}", **sizes))


def randomise(model: torch.nn.Module) -> torch.nn.Module:
    """Draws every parameter so that each matters; LayerScale would else leave next to nothing of the blocks."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, value in model.named_parameters():
            scales = value.ndim == 1 and not name.endswith("bias")
            spread = value.shape[-1] ** -0.5 if value.ndim == 2 else 0.3
            value.normal_(float(scales), spread, generator=generator)
    return model.eval()


def arrays_of(model: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: value.numpy() for name, value in model.state_dict().items()}


def saved_by(model: torch.nn.Module, folder) -> dict[str, np.ndarray]:
    """The arrays as `save_pretrained` writes them, whose names are those of the files that are published."""
    from safetensors.numpy import load_file

    model.save_pretrained(folder)
    return load_file(folder / "model.safetensors")


def as_meta(arrays: dict[str, np.ndarray], a: Architecture) -> dict[str, np.ndarray]:
    """What timm's names and layout of the same weights are in Meta's files."""
    names = {"reg_token": "storage_tokens" if a.family == "DINOv3" else "register_tokens"}
    values = {"mask_token": np.zeros((1, a.width), np.float32)}
    for name, value in arrays.items():
        if name.endswith(("q_bias", "v_bias")):
            continue
        name = name.replace("gamma_1", "ls1.gamma").replace("gamma_2", "ls2.gamma")
        values[names.get(name, name)] = value
    if a.family == "DINOv3":
        values["rope_embed.periods"] = np.ones(a.width // a.heads // 4, np.float32)
        for block in range(a.depth):
            stem = f"blocks.{block}.attn"
            query, value = arrays[f"{stem}.q_bias"], arrays[f"{stem}.v_bias"]
            values[f"{stem}.qkv.bias"] = np.concatenate([query, np.full_like(query, 7.0), value])
            values[f"{stem}.qkv.bias_mask"] = np.concatenate([query * 0 + 1, query * 0, query * 0 + 1])
    elif a.registers:  # Meta keeps the class token's position apart, timm has added it
        values["pos_embed"] = np.concatenate([np.full((1, 1, a.width), 0.25, np.float32), arrays["pos_embed"]], 1)
        values["cls_token"] = arrays["cls_token"] - 0.25
    return values


def patches_of(model: torch.nn.Module, image: np.ndarray, a: Architecture, blocks: tuple[int, ...]) -> list[np.ndarray]:
    """The tokens of the patches behind blocks, under the last norm, of normalised images [b, h, w, 3]."""
    rows, columns = image.shape[1] // a.patch, image.shape[2] // a.patch
    pixels = torch.from_numpy(image.copy()).permute(0, 3, 1, 2)
    with torch.no_grad():
        if hasattr(model, "forward_intermediates"):
            maps = model.forward_intermediates(
                pixels, indices=[b - 1 for b in blocks], norm=True, output_fmt="NLC", intermediates_only=True
            )
        else:
            norm = model.layernorm if hasattr(model, "layernorm") else model.norm
            states = model(pixels, output_hidden_states=True).hidden_states
            maps = [norm(states[b])[:, 1 + a.registers :] for b in blocks]
    return [each.numpy().reshape(len(image), rows, columns, a.width) for each in maps]
