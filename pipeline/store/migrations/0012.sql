-- Version 12: of another branch, which has its own file. Replaced at the merge.
SELECT 1
