"""Compiling and running the code of a cell: state is kept, `await` works at the top, the last expression has a value."""
import __future__

import _ast
import sys

CO_COROUTINE = 0x80
FUTURE_FLAGS = 0
for _name in __future__.all_feature_names:
    FUTURE_FLAGS |= getattr(__future__, _name).compiler_flag

# A semicolon after the last expression, possibly after closing parentheses that are no part of its node.
BEFORE_SEMICOLON = b" \t\n\r\v\f)\\"


class Evaluator:
    def __init__(self, namespace):
        self.namespace = namespace
        self.namespace_flags = 0
        self.sources = {}
        self.loop = None

    def run(self, source, count):
        """Runs the code; gives the value of its last expression, or None."""
        name = "<cell %d>" % count
        self.remember(name, source)
        flags = self.namespace_flags | _ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        tree = compile(source, name, "exec", flags | _ast.PyCF_ONLY_AST, dont_inherit=True)
        last = None
        if tree.body and isinstance(tree.body[-1], _ast.Expr):
            expression = tree.body[-1]
            if not text_after(source, expression).lstrip(BEFORE_SEMICOLON).startswith(b";"):
                last = _ast.Expression(expression.value)
                tree.body.pop()
        # Both are compiled before either runs: a mistake at the end is found before anything has happened.
        if tree.body:
            body = compile(tree, name, "exec", flags, dont_inherit=True)
            self.namespace_flags |= body.co_flags & FUTURE_FLAGS
        if last is not None:
            last = compile(last, name, "eval", flags | self.namespace_flags, dont_inherit=True)
        codes = ([body] if tree.body else []) + ([last] if last is not None else [])
        if any(code.co_flags & CO_COROUTINE for code in codes):
            value = self.wait_for(self.evaluate_awaiting(codes))
        else:
            value = None
            for code in codes:
                value = eval(code, self.namespace)
        return value if last is not None else None

    def remember(self, name, source):
        lines = source.splitlines(True)
        self.sources[name] = (len(source), None, lines, name)
        line_cache()[name] = self.sources[name]

    def forget(self):
        """Forgets what has been run."""
        for name in self.sources:
            line_cache().pop(name, None)
        self.sources.clear()

    def restore_sources(self, module=None):
        """Puts back what somebody has cleared, so that tracebacks show the lines; or what a cache that is new has to have."""
        cache = line_cache()
        for name, entry in tuple(self.sources.items()):
            if name not in cache:
                cache[name] = entry

    async def evaluate_awaiting(self, codes):
        """Runs the parts of a cell with `await` in it: all of it has a running loop."""
        value = None
        for code in codes:
            value = eval(code, self.namespace)
            if code.co_flags & CO_COROUTINE:
                value = await value
        return value

    def wait_for(self, coroutine):
        """Runs a cell with `await` in it on the one loop of this kernel."""
        import asyncio
        if self.loop is None or self.loop.is_closed():
            self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        task = self.loop.create_task(coroutine)
        try:
            return self.loop.run_until_complete(task)
        except (KeyboardInterrupt, SystemExit):
            if not task.done():
                task.cancel()
                # It may clean up, but not for ever.
                self.loop.run_until_complete(asyncio.wait([task], timeout=1))
            if task.done() and not task.cancelled():
                task.exception()
            raise

    def pending(self):
        """Whether an earlier run left anything on the loop that would go on in the next."""
        loop = self.loop
        if loop is None or loop.is_closed():
            return False
        if getattr(loop, "_ready", None) or getattr(loop, "_scheduled", None):
            return True
        return bool(sys.modules["asyncio"].all_tasks(loop))


def line_cache():
    """The cache of `linecache`, by which all of Python finds the lines of the user's code; another one while that is not there."""
    return getattr(sys.modules.get("linecache"), "cache", {})


def text_after(source, node):
    """What follows a node, as bytes: positions of the parser count bytes of UTF-8."""
    lines = source.encode("utf-8", "surrogatepass").splitlines(True)
    line = node.end_lineno - 1
    if line >= len(lines):
        return b""
    return lines[line][node.end_col_offset:] + b"".join(lines[line + 1:])
