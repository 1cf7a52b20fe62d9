"""Fit an ensemble of forests, boosted trees and networks; quantize it whole; ship it as one integer-only C header.

Names load on first use (PEP 562): `import ensemble_1d` itself imports nothing outside the standard library.
"""

__version__ = "0.1.0"

# A literal instead of `typing.TYPE_CHECKING`: type checkers know the name, and the typing module stays unloaded.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from ensemble_1d.budget import Budget
    from ensemble_1d.ensemble import Ensemble
    from ensemble_1d.errors import (
        ArtifactError,
        CompilerError,
        EnsembleError,
        InvalidInputError,
        InvalidProgramError,
        MissingBackendError,
        ParityError,
        UnsupportedModelError,
    )
    from ensemble_1d.ir import Program
    from ensemble_1d.loading import load
    from ensemble_1d.models.base import BaseModel
    from ensemble_1d.models.pytorch_model import PyTorchModel
    from ensemble_1d.models.random_forest import RandomForestModel
    from ensemble_1d.models.xgboost_model import XGBoostModel
    from ensemble_1d.native.native_program import SlowPredictionWarning
    from ensemble_1d.predictor import Predictor
    from ensemble_1d.quantization.arrays import QuantizationConfig, QuantizationMode, QuantizedTensor, Quantizer
    from ensemble_1d.quantization.optimizer import ModelOptimizer

_MODULE_OF = {
    "ArtifactError": "ensemble_1d.errors",
    "BaseModel": "ensemble_1d.models.base",
    "Budget": "ensemble_1d.budget",
    "CompilerError": "ensemble_1d.errors",
    "Ensemble": "ensemble_1d.ensemble",
    "EnsembleError": "ensemble_1d.errors",
    "InvalidInputError": "ensemble_1d.errors",
    "InvalidProgramError": "ensemble_1d.errors",
    "MissingBackendError": "ensemble_1d.errors",
    "ModelOptimizer": "ensemble_1d.quantization.optimizer",
    "ParityError": "ensemble_1d.errors",
    "Predictor": "ensemble_1d.predictor",
    "Program": "ensemble_1d.ir",
    "PyTorchModel": "ensemble_1d.models.pytorch_model",
    "QuantizationConfig": "ensemble_1d.quantization.arrays",
    "QuantizationMode": "ensemble_1d.quantization.arrays",
    "QuantizedTensor": "ensemble_1d.quantization.arrays",
    "Quantizer": "ensemble_1d.quantization.arrays",
    "RandomForestModel": "ensemble_1d.models.random_forest",
    "SlowPredictionWarning": "ensemble_1d.native.native_program",
    "UnsupportedModelError": "ensemble_1d.errors",
    "XGBoostModel": "ensemble_1d.models.xgboost_model",
    "load": "ensemble_1d.loading",
}

__all__ = [
    "ArtifactError",
    "BaseModel",
    "Budget",
    "CompilerError",
    "Ensemble",
    "EnsembleError",
    "InvalidInputError",
    "InvalidProgramError",
    "MissingBackendError",
    "ModelOptimizer",
    "ParityError",
    "Predictor",
    "Program",
    "PyTorchModel",
    "QuantizationConfig",
    "QuantizationMode",
    "QuantizedTensor",
    "Quantizer",
    "RandomForestModel",
    "SlowPredictionWarning",
    "UnsupportedModelError",
    "XGBoostModel",
    "__version__",
    "load",
]


if not TYPE_CHECKING:  # Type checkers know every name from above, and should report any other.

    def __getattr__(name: str) -> object:
        """Import the module that holds a public name, once."""
        module = _MODULE_OF.get(name)
        if module is None:
            message = f"module {__name__!r} has no attribute {name!r}"
            raise AttributeError(message)
        import importlib  # noqa: PLC0415 -- only when a name is first used

        value = getattr(importlib.import_module(module), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
