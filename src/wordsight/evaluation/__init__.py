"""How good a model is: data sets, the methods that use it on them, and what was found.

evaluation/
  evaluation.json                             which results belong to the last run
  results/SET/MODEL/METHOD.json               one `Result` each
  results/SET/MODEL/METHOD.predictions.jsonl  what it said of every picture, one `Prediction` a line
  report.html
"""
