"""Which cases of a ranking are shown."""


def choose_cases(number: int, rows: int) -> dict[str, list[int]]:
    """Places of the best, the median and the worst of a ranking, as many of each as there are, none of them twice."""
    rows = max(min(rows, number // 3), 1 if number else 0)
    middle = max((number - rows) // 2, 0)
    wanted = {
        "best": list(range(rows)),
        "median": list(range(middle, middle + rows)),
        "worst": list(range(number - rows, number)),
    }
    seen: set[int] = set()
    chosen = {}
    for kind, places in wanted.items():
        chosen[kind] = [place for place in places if 0 <= place < number and place not in seen]
        seen.update(chosen[kind])
    return {kind: places for kind, places in chosen.items() if places}
