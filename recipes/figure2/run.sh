#!/bin/sh
# bash recipes/figure2/run.sh SHARED_DATA OUT: the study of figure 2 on the shared sets.
set -eu
data=$1 out=$2
here=$(dirname "$0")
exec wordsight study \
  "$data/coco2k_captions::$data/flowers102_captions::$data/ucm_captions::$data/landscape_noisy_captions" \
  --named "$data/tiny_imagenet/train-*.tar" \
  --classes "$data/tiny_imagenet/test-000000.tar" \
  --config "$here/study.toml" --out "$out"
