"""Task streams: which example comes when, of which task, and as which numbers.

A stream is a function of the data set, its options and the data seed: any example can be asked for at any time, in
any order, so labels may come late, inputs may be dropped, and a resumed run needs no state of the stream.

The network sees x = offset + scale * k, where k is the *code*: the pixel itself for standardised and raw inputs, one
bit for binarised and sign inputs. Hardware drives wordlines with the code and adds the offset once;
`TaskStream.affine` gives both numbers.
"""

from __future__ import annotations

from bimu_hw.learning.streams.inputs import INPUTS as INPUTS
from bimu_hw.learning.streams.inputs import Affine as Affine
from bimu_hw.learning.streams.inputs import Encoder as Encoder
from bimu_hw.learning.streams.kinds import STREAM_KINDS as STREAM_KINDS
from bimu_hw.learning.streams.kinds import STREAM_PARAMETERS as STREAM_PARAMETERS
from bimu_hw.learning.streams.kinds import Task as Task
from bimu_hw.learning.streams.ood import OWN_SETS as OWN_SETS
from bimu_hw.learning.streams.ood import PROTOCOLS as PROTOCOLS
from bimu_hw.learning.streams.ood import Images as Images
from bimu_hw.learning.streams.ood import ood_images as ood_images
from bimu_hw.learning.streams.stream import TaskStream as TaskStream
