"""Writes a LoRA model or a GGUF file as a plain model folder. Run as a process of its own::

    python -m evomerge_compiler.merging.convert lora MODEL ADAPTER OUT
    python -m evomerge_compiler.merging.convert gguf FILE OUT

so that the memory of a whole model is given back, and a crash costs nothing but the conversion.
"""

from __future__ import annotations

import sys
from pathlib import Path

from evomerge_compiler.merging.model_files import copy_tokenizer


def merge_lora(model_folder: Path, adapter_folder: Path, out: Path) -> None:
    """Adds an adapter to its model: W + scale * B A (Hu et al., LoRA, arXiv:2106.09685, eq. 3).

    The tokenizer stays the model's: that is the one the recipe was checked with.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(model_folder, dtype="auto")
    adapted = PeftModel.from_pretrained(model, adapter_folder, is_trainable=False)
    adapted.merge_and_unload(safe_merge=True).save_pretrained(out)
    copy_tokenizer(model_folder, model_folder, out)


def dequantise_gguf(file: Path, out: Path) -> None:
    """Writes a GGUF file's weights as float32, which holds every GGUF type without loss."""
    import torch
    import transformers
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    where = {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name}
    # Where there are kernels for it, transformers would leave the weights in their blocks.
    settings = getattr(transformers, "GgufConfig", None)
    packed = {"quantization_config": settings(dequantize=True)} if settings else {}
    read = AutoModelForCausalLM.from_pretrained(**where, **packed, dtype=torch.float32)
    # A model that was read from GGUF refuses to be saved: its weights go into one that was not.
    plain = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(**where))
    plain.load_state_dict(read.state_dict(), assign=True)
    plain.tie_weights()
    plain.to(torch.float32).save_pretrained(out)
    AutoTokenizer.from_pretrained(**where).save_pretrained(out)


def main(argv: list[str]) -> None:
    """Runs one conversion."""
    kind, *paths = argv
    folders = [Path(path) for path in paths]
    if kind == "lora":
        merge_lora(*folders)
    elif kind == "gguf":
        dequantise_gguf(*folders)
    else:
        raise ValueError(f"expected lora or gguf, got {kind!r}")


if __name__ == "__main__":
    main(sys.argv[1:])
