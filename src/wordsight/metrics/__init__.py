"""Measured numbers with the range they could have had: every result states n and a 95 % interval.

estimate        the interval of a count, and of a difference
resampling      the bootstrap, also of groups and of pairs
classification  accuracy, per class, among the best k, precision, recall, confusion
ranking         ROC-AUC, PR-AUC, VOC 2007's 11 points
retrieval       recall at k, in both directions
calibration     reliability, ECE, Brier's score, log-likelihood
paired          one model against another; many tests at once
inspection      misses and false alarms of a line; the threshold that costs least
samples         how many samples prove or decide a target
binomial        exact tails;  checks  what a metric accepts
"""

from wordsight.metrics.calibration import Bin as Bin
from wordsight.metrics.calibration import brier as brier
from wordsight.metrics.calibration import expected_calibration_error as expected_calibration_error
from wordsight.metrics.calibration import negative_log_likelihood as negative_log_likelihood
from wordsight.metrics.calibration import reliability as reliability
from wordsight.metrics.checks import Labels as Labels
from wordsight.metrics.classification import Confusion as Confusion
from wordsight.metrics.classification import accuracy as accuracy
from wordsight.metrics.classification import balanced_accuracy as balanced_accuracy
from wordsight.metrics.classification import confusion as confusion
from wordsight.metrics.classification import hits_in_top as hits_in_top
from wordsight.metrics.classification import mean_per_class as mean_per_class
from wordsight.metrics.classification import mean_top1_top5 as mean_top1_top5
from wordsight.metrics.classification import precision as precision
from wordsight.metrics.classification import recall as recall
from wordsight.metrics.classification import specificity as specificity
from wordsight.metrics.classification import top_k_accuracy as top_k_accuracy
from wordsight.metrics.estimate import CONFIDENCE as CONFIDENCE
from wordsight.metrics.estimate import Estimate as Estimate
from wordsight.metrics.estimate import clopper_pearson as clopper_pearson
from wordsight.metrics.estimate import difference as difference
from wordsight.metrics.estimate import wilson as wilson
from wordsight.metrics.paired import binomial_test as binomial_test
from wordsight.metrics.paired import bonferroni as bonferroni
from wordsight.metrics.paired import holm as holm
from wordsight.metrics.paired import mcnemar as mcnemar
from wordsight.metrics.paired import permutation as permutation
from wordsight.metrics.ranking import PrecisionRecall as PrecisionRecall
from wordsight.metrics.ranking import average_precision as average_precision
from wordsight.metrics.ranking import eleven_point_ap as eleven_point_ap
from wordsight.metrics.ranking import eleven_point_map as eleven_point_map
from wordsight.metrics.ranking import precision_recall as precision_recall
from wordsight.metrics.ranking import roc_auc as roc_auc
from wordsight.metrics.resampling import bootstrap as bootstrap
from wordsight.metrics.resampling import bootstrap_difference as bootstrap_difference
from wordsight.metrics.resampling import bootstrap_rows as bootstrap_rows
from wordsight.metrics.retrieval import Similarity as Similarity
from wordsight.metrics.retrieval import both_directions as both_directions
from wordsight.metrics.retrieval import hits_at_k as hits_at_k
from wordsight.metrics.retrieval import positives_by_id as positives_by_id
from wordsight.metrics.retrieval import recall_at_k as recall_at_k
from wordsight.metrics.retrieval import recalls_at as recalls_at
