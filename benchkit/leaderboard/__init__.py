"""Submissions: boards of finished runs as files that anybody can check, and boards of several of them.

terms: what is kept of every test image. submission: the files. rules: what a submission must fulfil. check: are its
figures those of its terms. merge: rows from several submissions as one board.
site: pages of many boards.
"""
