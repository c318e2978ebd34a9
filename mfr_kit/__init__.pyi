# What `import mfr_kit as mk` offers, for type checkers and editors; at run time __init__.py fetches
# it from api.py.
from mfr_kit import losses as losses
from mfr_kit.api import align as align
from mfr_kit.api import check as check
from mfr_kit.api import evaluate as evaluate
from mfr_kit.api import export_onnx as export_onnx
from mfr_kit.api import load_embedder as load_embedder
from mfr_kit.api import put_mask as put_mask
from mfr_kit.api import tar_at_far as tar_at_far
from mfr_kit.api import to_tensor as to_tensor
from mfr_kit.data.face_set.faceset import FaceSet as FaceSet
from mfr_kit.errors import KitError as KitError
from mfr_kit.errors import RuleError as RuleError
from mfr_kit.masks.drawn_set import draw_face_set as draw_face_set
from mfr_kit.masks.transform import MaskAugment as MaskAugment
from mfr_kit.models.operating_points import operating_point as operating_point
from mfr_kit.models.operating_points import operating_points as operating_points

__version__: str
