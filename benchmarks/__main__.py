"""Run the benchmarks: ``python -m benchmarks [NAME ...]``; without a name, all of them."""

import argparse
import importlib
import pkgutil

import benchmarks


def main() -> None:
    names = [module.name for module in pkgutil.iter_modules(benchmarks.__path__) if not module.name.startswith("_")]
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("name", nargs="*", metavar="NAME", help=f"one of: {', '.join(names)}")
    for name in parser.parse_args().name or names:
        if name not in names:
            parser.error(f"no benchmark {name!r}; there are: {', '.join(names)}")
        print(f"\n== {name}", flush=True)
        importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    main()
