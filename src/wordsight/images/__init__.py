"""Pictures: finding, opening, preparing, comparing and showing them.

This is the only place of the product that opens a picture.
"""

from wordsight.images.duplicates import near_duplicate_groups as near_duplicate_groups
from wordsight.images.duplicates import perceptual_hash as perceptual_hash
from wordsight.images.find import EXTENSIONS as EXTENSIONS
from wordsight.images.find import find_images as find_images
from wordsight.images.limits import FORMATS as FORMATS
from wordsight.images.limits import ImageLimits as ImageLimits
from wordsight.images.prepare import PreparedBatch as PreparedBatch
from wordsight.images.prepare import prepare as prepare
from wordsight.images.prepare import prepare_batch as prepare_batch
from wordsight.images.read import ImageSource as ImageSource
from wordsight.images.read import open_image as open_image
from wordsight.images.reading import Reading as Reading
from wordsight.images.recipe import Preprocessing as Preprocessing
from wordsight.images.square import resize_and_crop as resize_and_crop
from wordsight.images.thumbnail import data_uri as data_uri
