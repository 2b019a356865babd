/**
 * Where a command goes on in the next line.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Open from "../../src/cli/shell/Open.js"

const each = (isOpen: (code: string) => boolean, open: ReadonlyArray<string>, whole: ReadonlyArray<string>) => {
  for (const code of open) {
    assert.isTrue(isOpen(code), `goes on: ${code}`)
  }
  for (const code of whole) {
    assert.isFalse(isOpen(code), `is whole: ${code}`)
  }
}

describe("code that goes on", () => {
  it("in Python", () =>
    each(
      Open.python,
      [
        "def f():",
        "def f():\n  pass",
        "if x:  # why",
        "f(",
        "x = [1,",
        "\"\"\"text",
        "'''a'b''",
        "1 + \\",
        "@decorator",
        "@decorator\ndef f(): pass",
        "class A:\n  def f(self):\n\n    x = (1,",
        "def f(a,\n  b):",
        "{'#': ["
      ],
      [
        "1",
        "def f():\n  pass\n",
        "if x: print(1)",
        "x = {1: 2}",
        "x[1:]",
        "f(\n1)",
        "\"\"\"text\nmore\"\"\"",
        "'unclosed",
        "'#:'",
        "x = 1 # a comment (",
        "print('it\\'s (')",
        ")",
        "@decorator\ndef f():\n  pass\n"
      ]
    ))

  it("in JavaScript and TypeScript", () =>
    each(
      Open.javascript,
      [
        "function f(a: number) {",
        "f(1,",
        "[",
        "`text",
        "`a ${b",
        "`a ${{}",
        "/* comment",
        "if (a) {\n  b()",
        "x = { a: /}/,",
        "`${`"
      ],
      [
        "1",
        "f(1)",
        "`a ${b} c`",
        "`a ${`b ${c}`}`",
        "/[/(]/.test(x)",
        "a / b / (c)",
        "'('",
        "\"it's (\"",
        "// {",
        "/* { */ 1",
        "x => x / 2",
        "return /(/",
        "a = b\n/c/g.exec('d')"
      ]
    ))

  it("in bash, from what it says", () => {
    assert.isTrue(Open.isOpenBash("echo \\", ""))
    assert.isFalse(Open.isOpenBash("echo \\\\", ""))
    assert.isTrue(Open.isOpenBash("(", "bash: -c: line 2: syntax error: unexpected end of file"))
    assert.isFalse(Open.isOpenBash(")", "bash: -c: line 1: syntax error near unexpected token `)'"))
  })

  it("in bash, never where it is not asked", () => {
    for (const code of ["echo $x ./a-b", "ls -la /tmp", "A=b env", "git log --oneline; pwd"]) {
      assert.isTrue(Open.isPlainBash(code), code)
    }
    for (
      const code of ["for i in 1", "echo 'a", "a | b", "cat <<E", "f() {", "a \\", "a &&", "if true", "x=(1", "`a"]
    ) {
      assert.isFalse(Open.isPlainBash(code), code)
    }
  })
})
