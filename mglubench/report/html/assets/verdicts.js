// A comparison's verdicts.
