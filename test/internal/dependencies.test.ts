import { describe, expect, it } from "@effect/vitest"
import { Effect } from "effect"
import * as fc from "fast-check"
import { execFileSync } from "node:child_process"
import { stepsOf } from "../../src/engine/Install.js"
import { checkDependencies, isPackage } from "../../src/internal/dependencies.js"
import { failsWith } from "../conformance/support.js"

const fine = {
  python: [
    "numpy",
    "Flask-SQLAlchemy",
    "requests>=2.31,<3",
    "requests >= 2.31, < 3",
    "uvicorn[standard]==0.30.1",
    "a[b,c]~=1.4.2",
    "torch==2.1.0+cpu",
    "importlib-metadata; python_version < '3.10'",
    "x==1.*; sys_platform == \"linux\" and python_version >= '3.8'",
    "pkg @ https://example.org/pkg-1.0-py3-none-any.whl"
  ],
  javascript: [
    "lodash",
    "left-pad@1.3.0",
    "react@^18.2.0",
    "typescript@next",
    "@types/node@20",
    "@scope/name",
    "a@>=1 <2 || ~3.1",
    "b@1.x",
    "mine@npm:other@2",
    "https://example.org/x.tgz"
  ]
}

const bad = [
  "",
  " ",
  "-r",
  "--index-url=http://evil.example",
  "-rrequirements.txt",
  "numpy --index-url http://evil.example",
  "numpy;--index-url=x",
  "a; touch x",
  "$(touch x)",
  "`touch x`",
  "a'b",
  "a\nb",
  "a\0b",
  "a\tb",
  "/etc/passwd",
  "./local",
  "../local",
  "~/x y",
  "file:../x",
  "git+ssh://git@example.org/x",
  "git+file:///etc",
  "x @ file:///etc/passwd",
  "x @ ../y",
  "a".repeat(600)
]

describe("packages of a template", () => {
  it("are names with versions as pip and npm take them", () => {
    for (const text of fine.python) expect([text, isPackage("python", text)]).toEqual([text, true])
    for (const text of fine.javascript) {
      expect([text, isPackage("javascript", text), isPackage("typescript", text)]).toEqual([text, true, true])
    }
  })

  it("are nothing else", () => {
    for (const text of bad) {
      expect([text, isPackage("python", text), isPackage("javascript", text)]).toEqual([text, false, false])
    }
    expect(isPackage("bash", "curl")).toBe(false)
  })

  it("never begin like an option, hold no control character, and lead to no file, whatever is tried", () => {
    const pieces = fc.constantFrom(
      ...["-", "--", "=", "@", "/", "..", "~", " ", ";", "[", "]", "'", "\"", "$", "\n", "\0", "a", "B", "1", ".", ","],
      ...["file:", "https://", "npm:", "git+", "<", ">", "|", "&", "é", "index-url"]
    )
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 12 }), (parts) => {
        const text = parts.join("")
        for (const language of ["python", "javascript"] as const) {
          if (isPackage(language, text)) {
            // What a URL holds only means something to the server that it names.
            expect(text.replace(/https?:\/\/.*$/s, "")).not.toMatch(/^\s*-|[\0-\x1f]|^[./~]|file:|git\+.*:|\$|&|`/)
          }
        }
      }),
      { numRuns: 5_000 }
    )
  })

  it("arrive as one argument each, behind the end of the options", () => {
    const words = fc.array(fc.string({ minLength: 1 }).filter((text) => !text.includes("\0")), { maxLength: 5 })
    fc.assert(
      fc.property(words, (dependencies) => {
        const config = { name: "x", language: "python" as const, version: "3", dependencies }
        const [step] = stepsOf(config, "python", "/layer")
        if (step === undefined) {
          expect(dependencies).toEqual([])
          return
        }
        const shown = execFileSync("bash", ["-c", step.command.replace(/^python/, "printf '%s\\0'")], {
          encoding: "utf8"
        })
        expect(shown).toBe(["-m", "pip", "install", "--user", "--", ...dependencies, ""].join("\0"))
      }),
      { numRuns: 50 }
    )
  })

  it.effect("are told by their place", () =>
    Effect.gen(function*() {
      const config = { name: "x", language: "python" as const, version: "3", dependencies: ["fine", "-r x"] }
      yield* failsWith(checkDependencies(config), { code: "invalid_argument", field: "dependencies.1" })
      const many = { ...config, dependencies: Array.from({ length: 501 }, () => "a") }
      yield* failsWith(checkDependencies(many), { code: "invalid_argument", field: "dependencies" })
    }))
})
