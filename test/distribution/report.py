"""What a program of tests prints at its end."""


def report(results):
    """Print the failures of (name, passed) and the counts; whether any failed."""
    results = list(results)
    for name, passed in results:
        if not passed:
            print("not ok - " + name)
    failed = sum(not passed for _, passed in results)
    print(f"{len(results) - failed} passed, {failed} failed")
    return failed > 0
