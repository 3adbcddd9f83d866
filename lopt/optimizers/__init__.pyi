"""The public names of lopt.optimizers."""

from .baselines import NAdamW as NAdamW
from .baselines import NAdamWSpace as NAdamWSpace
from .baselines import adam as adam
from .baselines import nadamw as nadamw
from .baselines import sgd_momentum as sgd_momentum
from .compiling import compiler_options as compiler_options
from .files.released import Released as Released
from .files.released import from_released as from_released
from .files.released import released_config as released_config
from .files.released import released_meta_parameters as released_meta_parameters
from .files.released import to_released as to_released
from .files.saved import Saved as Saved
from .files.saved import card as card
from .files.saved import load as load
from .files.saved import save as save
from .files.saved import shipped as shipped
from .linear import LinearConfig as LinearConfig
from .linear import linear as linear
from .parts.accumulators import Accumulators as Accumulators
from .parts.accumulators import Decays as Decays
from .parts.accumulators import init_accumulators as init_accumulators
from .parts.accumulators import update_accumulators as update_accumulators
from .parts.network import Network as Network
<<<<<<< HEAD
from .star import scale_by_star as scale_by_star
=======
from .scheduled import ScheduledNAdamW as ScheduledNAdamW
from .scheduled import ScheduledNAdamWSpace as ScheduledNAdamWSpace
from .scheduled import scheduled_nadamw as scheduled_nadamw
from .scheduled import scheduled_rate as scheduled_rate
>>>>>>> 16f1cb2b631734285b82cc0110da02eb287865aa
from .star import star as star
from .star_update import BLACKBOX as BLACKBOX
from .star_update import HYPERPARAM as HYPERPARAM
from .star_update import NOMINAL_TERMS as NOMINAL_TERMS
from .star_update import STAR as STAR
from .star_update import MetaParameters as MetaParameters
from .star_update import NominalTerm as NominalTerm
from .star_update import Star as Star
from .star_update import StarConfig as StarConfig
from .star_update import StarState as StarState
from .star_update import init_meta_parameters as init_meta_parameters
from .star_update import learned_decays as learned_decays
from .star_update import nominal_direction as nominal_direction
