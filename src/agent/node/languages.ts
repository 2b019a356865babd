/**
 * The interpreters: how each is started, and what is particular to it.
 */
import { Writable } from "node:stream"
import type { Language } from "../../CodeContext.js"
import type { Agent } from "./agent.js"
import { Context, LanguageMissing } from "./contexts.js"
import { BashContext } from "./shells.js"

/**
 * JavaScript and TypeScript: a Node of its own, and a pipe to interrupt what signals do not reach.
 */
class NodeContext extends Context {
  #bell: Writable | undefined

  protected start(): void {
    this.execute(
      // An interrupt in a timer would make Node 24 abort, over its stack of async ids.
      [this.program("node"), "--no-force-async-hooks-checks", `${this.agent.folder}/kernel.cjs`],
      { ...this.env, SANDBOX_LANGUAGE: this.language },
      { input: "ignore", others: ["pipe"] }
    )
    const bell: unknown = this.child?.stdio[4]
    if (bell instanceof Writable) {
      this.#bell = bell
      bell.on("error", () => {})
    }
  }

  protected override signalInterrupt(run: number): void {
    // With its number, so that it cannot hit the next run if this one ends meanwhile.
    this.#bell?.write(`${run}\n`)
    super.signalInterrupt(run)
  }
}

/**
 * Python's kernel is a fork of the agent in Python: this one has none.
 */
class PythonContext extends Context {
  protected start(): void {
    throw new LanguageMissing("There is no Python in the sandbox.")
  }
}

/** A context of a language that has not been opened. */
export const makeContext = (
  agent: Agent,
  options: {
    readonly ctx: string
    readonly language: Language
    readonly cwd: string
    readonly env: Readonly<Record<string, string>>
  }
): Context => {
  const { ctx, cwd, env, language } = options
  switch (language) {
    case "python":
      return new PythonContext(agent, ctx, language, cwd, env)
    case "bash":
      return new BashContext(agent, ctx, language, cwd, env)
    case "javascript":
    case "typescript":
      return new NodeContext(agent, ctx, language, cwd, env)
  }
}
