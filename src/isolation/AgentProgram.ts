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
  /** Whether what is started is a shell, whose first child is the agent. */
  readonly isBehindShell: boolean
}

/**
 * Starts what it is given, buries all orphans, and ends as that ends. It is to be the first process of its namespace,
 * which Node must not be (it buries only what it has started itself). Stopped by code in the sandbox, Node is made to go
 * on at once: this shell hears of it as of the end of a child (sigaction(2), `SA_NOCLDSTOP`).
 */
const firstProcess = (start: string): string =>
  `${start}; agent=$!; trap 'kill -CONT "$agent" 2> /dev/null' CHLD; ` +
  "while :; do wait \"$agent\"; status=$?; kill -0 \"$agent\" 2> /dev/null || exit \"$status\"; done"

/** The line to the engine is then Node's alone: descriptor 3, or standard input and output. */
const START = "\"$@\" & exec 3<&-"
const START_ON_STDIO = "exec 3<&0; \"$@\" <&3 3<&- & exec 0< /dev/null 3<&- 1>&2"

/** Fewer threads than Node would have; none of them would have anything to do. */
const NODE_FLAGS = ["--v8-pool-size=0"]

/** The most that was seen (Node 18 to 24), and the shell that is the first process. */
const NODE_TASKS = 12

/**
 * How it is started.
 */
interface Start {
  /** Where its files are, as it sees them. */
  readonly folder: string
  /** Whether it is the first process of its namespace. */
  readonly first: boolean
  /** Whether it speaks on standard input and output, in place of descriptor 3. */
  readonly stdio?: boolean | undefined
}

const options = ({ stdio }: Start): ReadonlyArray<string> => stdio === true ? ["--stdio"] : []

const inPython = (python: Runtime, start: Start, soon: boolean): AgentProgram => ({
  kind: "python",
  command: python.path,
  args: ["-I", "-S", `${start.folder}/agent.py`, ...options(start), ...(soon ? ["--kernel-soon"] : [])],
  tasks: 1,
  isBehindShell: false
})

const inNode = (node: Runtime, start: Start): AgentProgram => {
  const args = [...NODE_FLAGS, `${start.folder}/agent.cjs`, ...options(start)]
  const script = firstProcess(start.stdio === true ? START_ON_STDIO : START)
  return {
    kind: "node",
    ...(start.first
      ? { command: "/bin/sh", args: ["-c", script, "sh", node.path, ...args] }
      : { command: node.path, args }),
    tasks: NODE_TASKS,
    isBehindShell: start.first
  }
}

/**
 * The agent for a sandbox that has these interpreters; none when it has neither Python nor Node.
 */
export const find = (
  runtimes: Runtimes,
  wanted: Start & {
    /** The version of the Python that is wanted, for code in it. */
    readonly pythonVersion?: string | undefined
    /** Which it has to be. */
    readonly kind?: AgentKind | undefined
  }
): AgentProgram | undefined => {
  const { kind, pythonVersion } = wanted
  if (kind !== "node" && (kind === "python" || runtimes.python.length > 0)) {
    const python = choose(runtimes.python, pythonVersion)
    return python === undefined ? undefined : inPython(python, wanted, pythonVersion !== undefined)
  }
  const [node] = runtimes.node
  return node === undefined ? undefined : inNode(node, wanted)
}

/**
 * The interpreters that code in a sandbox can have: the agent in Node has no Python for it, whatever the machine has.
 */
export const runtimesWith = (runtimes: Runtimes, kind: AgentKind | undefined): Runtimes =>
  kind === "node" ? { ...runtimes, python: [] } : runtimes
