"""Compile a kernel ahead of time, which needs no GPU, and read what the compiler made of it."""

import json
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from workbench.kernels.jit import Kernel

TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
SHARED_MEMORY = 99 * 1024  # bytes that a block has on the smallest of today's GPUs
SNAPSHOTS = Path(__file__).parent / "compiled"
# Other releases compile to other figures: they have to pass the gates only.
PINNED = re.search(r"^triton==(.+)$", (Path(__file__).parents[2] / "constraints.txt").read_text(), re.M)[1]
CUOBJDUMP = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"


@dataclass(frozen=True)
class Compilation:
    """A kernel with the types and constants that it is compiled for.

    ``types`` are triton's: ``"*bf16"`` a pointer, ``"i32"`` a number, taken to be a multiple of 16 as the
    sizes of real networks are.
    """

    name: str
    kernel: Kernel
    types: dict[str, str]
    constants: dict[str, object]
    warps: int = 4
    stages: int = 3
    dots: bool = False  # whether tensor cores have work
    fused: bool = True  # whether products may be fused with sums

    def figures(self, target: str) -> dict[str, int]:
        """Compile for a target; registers, spilled bytes, shared memory and instructions that matter."""
        compiled = self.compile(TARGETS[target])
        read = _read_amd if target.startswith("gfx") else _read_nvidia
        return {"shared_memory": compiled.metadata.shared, **read(compiled.asm)}

    def compile(self, target: GPUTarget):
        """What triton compiles it to."""
        function = self.kernel.jitted
        names = list(function.arg_names)
        # What triton finds out of the arguments of a call: without it nothing is loaded in vectors.
        divisible = {
            (names.index(name),): [["tt.divisibility", 16]]
            for name, kind in self.types.items()
            if kind.startswith("*") or kind in ("i32", "i64")
        }
        signature = {name: self.types.get(name, "constexpr") for name in names}
        source = ASTSource(fn=function, signature=signature, constexprs=self.constants, attrs=divisible)
        options = {"num_warps": self.warps, "num_stages": self.stages, "enable_fp_fusion": self.fused}
        return triton.compile(source, target=target, options=options)


def check(file: str, case: Compilation, target: str) -> None:
    """Hold a compilation against the gates, and its figures against the snapshot of the file's name.

    The snapshot is of the pinned triton. With WORKBENCH_UPDATE_KERNELS in the environment it is written
    instead.
    """
    figures = case.figures(target)
    where = f"{case.name} on {target}: {figures}"
    assert figures["spilled_bytes"] == 0, where
    assert figures["shared_memory"] <= SHARED_MEMORY, where
    assert figures["vector_loads"] > 0, where
    assert not case.dots or figures["tensor_core"] > 0, where
    path = SNAPSHOTS / f"{file}.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    if os.environ.get("WORKBENCH_UPDATE_KERNELS"):
        known.setdefault(case.name, {})[target] = figures
        path.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n")
        return
    if triton.__version__ != PINNED:
        return
    for name, value in known[case.name][target].items():
        assert abs(figures[name] - value) <= 0.1 * value, f"{where}; {name} was {value}"


def _read_nvidia(asm: dict) -> dict[str, int]:
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(asm["cubin"])
        file.flush()
        command = [str(CUOBJDUMP), "-res-usage", file.name]
        usage = subprocess.run(command, capture_output=True, text=True, check=True)
    text = usage.stdout + usage.stderr
    return {
        "registers": int(re.search(r"REG:(\d+)", text)[1]),
        "spilled_bytes": int(re.search(r"STACK:(\d+)", text)[1]),
        "vector_loads": len(re.findall(r"ld\.global[^;]*\.v[248]|cp\.async\.c[ag]\S* .*, 0x10", asm["ptx"])),
        "tensor_core": len(re.findall(r"\b(?:wgmma\.mma_async|mma\.sync)", asm["ptx"])),
    }


def _read_amd(asm: dict) -> dict[str, int]:
    code = asm["amdgcn"]
    return {
        "registers": int(re.search(r"\.vgpr_count:\s*(\d+)", code)[1]),
        "spilled_bytes": 4 * int(re.search(r"\.vgpr_spill_count:\s*(\d+)", code)[1]),
        "vector_loads": len(re.findall(r"(?:global|buffer)_load_(?:dwordx[234]|b(?:64|96|128))", code)),
        "tensor_core": len(re.findall(r"\bv_mfma", code)),
    }
