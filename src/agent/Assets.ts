/**
 * What runs inside a sandbox: the files of `/opt/sandbox`, by name, as text.
 */
import agent from "./agent.py?asset"
import attribution from "./attribution.py?asset"
import charts from "./charts.py?asset"
import commands from "./commands.py?asset"
import contexts from "./contexts.py?asset"
import display from "./display.py?asset"
import egress from "./egress.py?asset"
import evaluate from "./evaluate.py?asset"
import figures from "./figures.py?asset"
import files from "./files.py?asset"
import framing from "./framing.py?asset"
import imports from "./imports.py?asset"
import ingress from "./ingress.py?asset"
import inputs from "./inputs.py?asset"
import kernel from "./kernel.py?asset"
import javascript from "./kernels/javascript/main.ts?asset"
import bash from "./kernels/kernel.bash?asset"
import javascriptProxy from "./kernels/proxy.ts?asset"
import languages from "./languages.py?asset"
import libc from "./libc.py?asset"
import link from "./link.py?asset"
import loop from "./loop.py?asset"
import main from "./main.py?asset"
import many from "./many.py?asset"
import agentInNode from "./node/agent.ts?asset"
import paths from "./paths.py?asset"
import processes from "./processes.py?asset"
import proxy from "./proxy.py?asset"
import runs from "./runs.py?asset"
import shells from "./shells.py?asset"
import streams from "./streams.py?asset"
import tables from "./tables.py?asset"
import terminals from "./terminals.py?asset"
import times from "./times.py?asset"
import tracebacks from "./tracebacks.py?asset"
import transfers from "./transfers.py?asset"
import tunnels from "./tunnels.py?asset"
import watching from "./watching.py?asset"

/**
 * The agent, its modules, and the kernels. The agent finds the others beside itself, whatever the folder is called.
 */
export const assets: Readonly<Record<string, string>> = {
  "agent.py": agent,
  "agent.cjs": agentInNode,
  "attribution.py": attribution,
  "charts.py": charts,
  "commands.py": commands,
  "contexts.py": contexts,
  "display.py": display,
  "egress.py": egress,
  "evaluate.py": evaluate,
  "figures.py": figures,
  "files.py": files,
  "framing.py": framing,
  "imports.py": imports,
  "inputs.py": inputs,
  "ingress.py": ingress,
  "kernel.py": kernel,
  "languages.py": languages,
  "libc.py": libc,
  "link.py": link,
  "loop.py": loop,
  "main.py": main,
  "many.py": many,
  "paths.py": paths,
  "processes.py": processes,
  "proxy.py": proxy,
  "runs.py": runs,
  "shells.py": shells,
  "streams.py": streams,
  "tables.py": tables,
  "terminals.py": terminals,
  "times.py": times,
  "tracebacks.py": tracebacks,
  "transfers.py": transfers,
  "tunnels.py": tunnels,
  "watching.py": watching,
  "kernel.bash": bash,
  "kernel.cjs": javascript,
  "proxy.cjs": javascriptProxy
}
