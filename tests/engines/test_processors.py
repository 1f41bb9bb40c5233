"""A bundle that was trained on one processor and carried to another judges as it should, or is refused in words."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import openvino
import pytest
from brokers import PATIENCE_S
from factories import a_part, a_twin, png

from edge_inspector.bundle import Bundle
from edge_inspector.engines.openvino import Precision, can_run
from edge_inspector.lab import precision

JUDGE = """
import json, sys, time
from pathlib import Path
from edge_inspector.bundle import open_inspector, read_bundle
from edge_inspector.errors import EdgeInspectorError
try:
    inspector = open_inspector(read_bundle(Path(sys.argv[1])), threads=1, clock_ns=time.perf_counter_ns)
except EdgeInspectorError as error:
    print(json.dumps({"refused": str(error)}))
else:
    graph = inspector.detector._network._model.get_runtime_model()
    print(json.dumps({
        "refused": "",
        "kernels": sorted({str(op.get_rt_info()["primitiveType"].value) for op in graph.get_ordered_ops()}),
        "verdicts": [inspector.inspect(Path(name).read_bytes()).judgement.verdict for name in sys.argv[2:]],
    }))
"""
QEMU = shutil.which("qemu-x86_64")
PRECISIONS: tuple[Precision, ...] = ("f32", "bf16", "int8")


def takes_a_limit() -> bool:
    """Say whether this OpenVINO keeps its own kernels within OV_CPU_MAX_ISA; oneDNN within it has another name."""
    libraries = Path(openvino.__file__).parent.glob("libs/libopenvino*.so*")
    return any(b"OV_CPU_MAX_ISA" in library.read_bytes() for library in libraries)


@pytest.fixture(scope="module")
def carried(
    bundle: Bundle, teach_washer: Callable[..., Bundle], tmp_path_factory: pytest.TempPathFactory, good_parts: Path
) -> Mapping[Precision, Bundle]:
    """Give a bundle of each precision, each with its golden pictures as they came out where it was trained.

    No processor without units for bf16 can make such a bundle: there it is one of float32 that says so.
    """
    folder = tmp_path_factory.mktemp("carried")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(precision, "LARGEST_SHIFT", 1.0)
        patch.setattr(precision, "LARGEST_LOSS", 1.0)
        int8 = teach_washer(good_parts, folder / "int8", precision="int8")
        if can_run("bf16"):
            return {"f32": bundle, "int8": int8, "bf16": teach_washer(good_parts, folder / "bf16", precision="bf16")}
    card = bundle.manifest.detector.model_copy(update={"precision": "bf16"})
    return {"f32": bundle, "int8": int8, "bf16": a_twin(bundle, folder / "bf16", 1, detector=card)}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Give a good and a scratched part."""
    folder = tmp_path_factory.mktemp("parts")
    for name, scratched in (("good.png", False), ("bad.png", True)):
        (folder / name).write_bytes(png(a_part(1000, scratched=scratched)))
    return folder / "good.png", folder / "bad.png"


def judge(
    bundle: Bundle, parts: tuple[Path, Path], *start: str, seconds: float = PATIENCE_S, **limits: str
) -> dict[str, Any]:
    """Open the bundle in a process that sees another processor; return what came of it."""
    words = [*start, sys.executable, "-c", JUDGE, str(bundle.path), *map(str, parts)]
    ran = subprocess.run(
        words, capture_output=True, text=True, check=False, timeout=seconds, env={**os.environ, **limits}
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    found: dict[str, Any] = json.loads(ran.stdout.splitlines()[-1])
    return found


def is_as_it_should(found: dict[str, Any]) -> bool:
    """Say whether the parts were judged as they are, or the bundle was refused with what to do."""
    if found["refused"]:
        return (
            re.search(r"(no units for that|gives other answers here .*): recalibrate here", found["refused"])
            is not None
        )
    return found["verdicts"] == ["OK", "NG"]


@pytest.mark.skipif(not takes_a_limit(), reason="this OpenVINO cannot be limited as a whole")
@pytest.mark.parametrize("asked", PRECISIONS)
@pytest.mark.parametrize(("limit", "beyond"), [("AVX2", "avx512|amx"), ("SSE41", "avx")])
def test_within_fewer_units_it_judges_or_is_refused(
    carried: Mapping[Precision, Bundle], parts: tuple[Path, Path], asked: Precision, limit: str, beyond: str
) -> None:
    """In float32 it judges; in bf16 and int8 its golden pictures come out again, or it says to recalibrate."""
    found = judge(carried[asked], parts, ONEDNN_MAX_CPU_ISA=limit, OV_CPU_MAX_ISA=limit)

    assert is_as_it_should(found), found
    if asked == "f32":
        assert not found["refused"]
        assert not [kernel for kernel in found["kernels"] if re.search(beyond, kernel)]


def test_half_a_limit_is_never_half_an_answer(carried: Mapping[Precision, Bundle], parts: tuple[Path, Path]) -> None:
    """Where oneDNN keeps to a limit and the plugin does not, kernels do not fit together: refused, or judged right."""
    found = judge(carried["f32"], parts, ONEDNN_MAX_CPU_ISA="SSE41")

    assert is_as_it_should(found) or "set OV_CPU_MAX_ISA to the same or clear both" in found["refused"]


@pytest.mark.skipif(can_run("bf16"), reason="this processor has bf16 units")
def test_without_units_for_bf16_it_is_refused(carried: Mapping[Precision, Bundle], parts: tuple[Path, Path]) -> None:
    """OpenVINO would compute it in float32, unasked."""
    assert "runs in bf16 and this processor has no units for that" in judge(carried["bf16"], parts)["refused"]


@pytest.mark.slow
@pytest.mark.skipif(QEMU is None, reason="no qemu-x86_64 (Debian: qemu-user)")
@pytest.mark.parametrize("asked", PRECISIONS)
@pytest.mark.parametrize("processor", ["Nehalem", "Haswell"])
def test_another_processor_judges_or_refuses(
    carried: Mapping[Precision, Bundle], parts: tuple[Path, Path], processor: str, asked: Precision
) -> None:
    """All instructions of one without AVX, and of one without AVX-512, VNNI, bf16 and AMX, emulated one by one."""
    found = judge(carried[asked], parts, str(QEMU), "-cpu", processor, seconds=3000)

    assert is_as_it_should(found), found
    assert not (asked == "f32" and found["refused"])
    assert not (asked == "bf16" and not found["refused"])
