"""How long `litellm.cost_per_token` takes on one core: run by the bench in an environment of its own.

In: JSON lines of [model, prompt tokens, cached prompt tokens, output tokens]. Out: JSON of the rows that litellm has a
price for, and the processor seconds they took.
"""

import json
import sys
import time

import litellm


def call(model: str, prompt: int, cached: int, output: int) -> object:
    return litellm.cost_per_token(model, prompt_tokens=prompt, completion_tokens=output, cache_read_input_tokens=cached)


def is_priced(model: str) -> bool:
    try:
        call(model, 1, 0, 1)
    except Exception:  # noqa: BLE001 - whatever it raises, it has no price for the bare name
        return False
    return True


def main() -> None:
    rows = [json.loads(line) for line in sys.stdin]
    models = {model for model in {row[0] for row in rows} if is_priced(model)}
    known = [row for row in rows if row[0] in models]
    start = time.process_time()
    for row in known:
        call(*row)
    print(json.dumps({"rows": len(known), "seconds": time.process_time() - start}))


if __name__ == "__main__":
    main()
