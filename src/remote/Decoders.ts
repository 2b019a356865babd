/**
 * The decoders of the records of each kind of stream.
 */
import { BatchRecord, BuildRecord, ExecutionRecord, FileRecord, TerminalRecord } from "../api/Streams.js"
import { makeDecoder } from "./Records.js"

/** Of a run of code, and of any execution that is no batch. */
export const decodeExecutionRecord = makeDecoder(ExecutionRecord)

/** Of a command. */
export const decodeTerminalRecord = makeDecoder(TerminalRecord)

/** Of a batch. */
export const decodeBatchRecord = makeDecoder(BatchRecord)

/** Of a folder that is watched. */
export const decodeFileRecord = makeDecoder(FileRecord)

/** Of a template that is built. */
export const decodeBuildRecord = makeDecoder(BuildRecord)
