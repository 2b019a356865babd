/**
 * The program that the agent is, and how it is started: in Python where there is one, and in Node otherwise.
 */
import type { Runtime, Runtimes } from "./Runtimes.js"
import { choose } from "./Runtimes.js"

/**
 * What the agent is written in.
 */
export type AgentKind = "python" | "node"

/**
 * What to start.
 */
export interface AgentProgram {
  readonly kind: AgentKind
  readonly command: string
  readonly args: ReadonlyArray<string>
  /** How many tasks are its own, and so not the sandbox's user's. */
  readonly tasks: number
}

/**
 * Starts what it is given, buries all orphans, and ends as that ends. It is to be the first process of its namespace,
 * which Node must not be (it buries only what it has started itself). Stopped by code in the sandbox, Node is made to go
 * on at once: this shell hears of it as of the end of a child (sigaction(2), `SA_NOCLDSTOP`).
 */
const FIRST_PROCESS = "\"$@\" & agent=$!; exec 3<&-; trap 'kill -CONT \"$agent\" 2> /dev/null' CHLD; " +
  "while :; do wait \"$agent\"; status=$?; kill -0 \"$agent\" 2> /dev/null || exit \"$status\"; done"

/** Fewer threads than Node would have; none of them would have anything to do. */
const NODE_FLAGS = ["--v8-pool-size=0"]

/** The most that was seen (Node 18 to 24), and the shell that is the first process. */
const NODE_TASKS = 12

const inPython = (python: Runtime, folder: string): AgentProgram => ({
  kind: "python",
  command: python.path,
  args: ["-I", `${folder}/agent.py`],
  tasks: 1
})

const inNode = (node: Runtime, folder: string, first: boolean): AgentProgram => {
  const args = [...NODE_FLAGS, `${folder}/agent.cjs`]
  return {
    kind: "node",
    ...(first
      ? { command: "/bin/sh", args: ["-c", FIRST_PROCESS, "sh", node.path, ...args] }
      : { command: node.path, args }),
    tasks: NODE_TASKS
  }
}

/**
 * The agent for a sandbox that has these interpreters; none when it has neither Python nor Node.
 */
export const find = (
  runtimes: Runtimes,
  options: {
    /** Where its files are, as it sees them. */
    readonly folder: string
    readonly pythonVersion?: string | undefined
    /** Which it has to be. */
    readonly kind?: AgentKind | undefined
    /** Whether it is started as the first process of its namespace. */
    readonly first: boolean
  }
): AgentProgram | undefined => {
  const { first, folder, kind, pythonVersion } = options
  if (kind !== "node" && (kind === "python" || runtimes.python.length > 0)) {
    const python = choose(runtimes.python, pythonVersion)
    return python === undefined ? undefined : inPython(python, folder)
  }
  const [node] = runtimes.node
  return node === undefined ? undefined : inNode(node, folder, first)
}

/**
 * The interpreters that code in a sandbox can have: the agent in Node has no Python for it, whatever the machine has.
 */
export const runtimesWith = (runtimes: Runtimes, kind: AgentKind | undefined): Runtimes =>
  kind === "node" ? { ...runtimes, python: [] } : runtimes
