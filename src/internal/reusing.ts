/**
 * Streams of bytes that have a second form, for who needs a piece only until it asks for the next one: that form fills the
 * same memory again and again, where the plain one has a new piece each time. V8 goes through its whole heap after every 20
 * to 30 MB of new memory outside of it, which for a large file takes longer than its way to the disk.
 *
 * What is made here is a `Stream` like all others. Who knows of this module asks for the second form by {@link reusing};
 * any combinator makes a plain stream of it, so that whoever keeps pieces never sees one change.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"

const REUSING = Symbol("sandbox-sdk/internal/reusing")

/**
 * Where whoever reads would like to have the next piece, which is then no longer than that; undefined where it does not mind.
 * It may be asked once for each piece, when the piece before is not needed any more.
 */
export type Memory = () => Uint8Array | undefined

type Bytes<E, R> = Stream.Stream<Uint8Array, E, R>

type Form<E, R> = (memory?: Memory) => Bytes<E, R>

const hasForms = <E, R>(stream: Bytes<E, R>): stream is Bytes<E, R> & { readonly [REUSING]: Form<E, R> } =>
  REUSING in stream

/**
 * A stream in both forms.
 *
 * @param plain each of its pieces stays as it is.
 * @param reusing the same bytes; a piece may change as soon as the next one is asked for. It need not be where it was wished.
 */
export const make = <E, R>(plain: Bytes<E, R>, reusing: Form<E, R>): Bytes<E, R> =>
  Object.assign(plain, { [REUSING]: reusing })

/**
 * The form whose pieces may change as soon as the next one is asked for, if there is one, and else the stream itself. Who
 * asks for it must not hold pieces: no buffer, no second fiber.
 */
export const reusing = <E, R>(stream: Bytes<E, R>, memory?: Memory): Bytes<E, R> =>
  hasForms(stream) ? stream[REUSING](memory) : stream

/**
 * Makes a function of streams one that keeps both forms. It must not hold pieces itself.
 */
export const through =
  <E, R, E2, R2>(f: (stream: Bytes<E, R>) => Bytes<E2, R2>) => (stream: Bytes<E, R>): Bytes<E2, R2> =>
    hasForms(stream) ? make(f(stream), (memory) => f(stream[REUSING](memory))) : f(stream)

/**
 * The stream that an effect gives, in the forms that it has.
 */
export const unwrap = <E, R, E2, R2>(effect: Effect.Effect<Bytes<E, R>, E2, R2>): Bytes<E | E2, R | R2> =>
  make(
    Stream.unwrap(effect),
    (memory) => Stream.unwrap(Effect.map(effect, (stream) => reusing(stream, memory)))
  )
