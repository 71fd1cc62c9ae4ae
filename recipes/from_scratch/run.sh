#!/bin/sh
# sh recipes/from_scratch/run.sh DATA RUN: both towers from nothing; run again after a crash it goes on
set -eu
here=$(dirname "$0")
data=$1 out=$2
mkdir -p "$out"
test -f "$out/pairs/pairs.csv" || python "$here/prepare.py" "$data" "$out/pairs"
wordsight train "$out/pairs/pairs.csv" --out "$out/run" --config "$here/train.toml" \
  --measure "tiny_imagenet=$data/tiny_imagenet/test-*.tar" \
  --measure "cifar10=$data/cifar10/test-*.tar"
