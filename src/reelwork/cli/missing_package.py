"""Which extra of Reelwork brings a Python package that a command did not find."""

from __future__ import annotations

from typing import Final

EXTRAS: Final = {
    "api": ("fastapi", "uvicorn", "python_multipart"),
    "analyze": ("av", "numpy", "cv2", "scenedetect", "ai_edge_litert"),
    "match": ("PIL", "onnx", "onnxruntime", "yt_dlp"),
    "ocr": ("rapidocr",),
    "postgresql": ("psycopg",),
    "redis": ("redis",),
    "rabbitmq": ("aiormq",),
    "aws": ("aiobotocore", "boto3", "botocore"),
}


def missing_package_fix(error: BaseException | None) -> str | None:
    """What to tell the user of a missing package; None for other errors and for packages that are not ours to bring."""
    if not isinstance(error, ModuleNotFoundError):
        return None
    package = (error.name or "").partition(".")[0]
    for extra, packages in EXTRAS.items():
        if package in packages:
            return f"this needs {package}, which is not installed; fix it with: pip install 'reelwork[{extra}]'"
    return None
