/** A bug that somebody might write into the engine: one place of one file, changed. */
export interface Mutation {
  readonly name: string
  /** Under server/uploads. */
  readonly file: string
  /** Must be there exactly once. */
  readonly find: string
  readonly replace: string
  /** Is it one that shows only when something breaks? */
  readonly broken: boolean
}

/** The property test has to find each of them, or it is worth nothing (test/integration/engine-mutations.test.ts). */
export const MUTATIONS: readonly Mutation[] = [
  {
    name: 'acknowledges a tail before the session moved over it',
    file: 'appender.ts',
    find: 'await this.#open.save({ offset: end, tails: [...kept, tail], tailed: true })',
    replace: 'void this.#open.save({ offset: end, tails: [...kept, tail], tailed: true }).catch(() => {})',
    broken: true,
  },
  {
    name: 'does not look whether a save was kept',
    file: 'open-upload.ts',
    find: "if (kept !== 'kept') {",
    replace: "if (kept !== 'kept' && this.#row.id === '') {",
    broken: true,
  },
  {
    name: 'counts a part behind one that failed',
    file: 'appender.ts',
    find: 'if (this.#failure) {\n          // It is',
    replace: 'if (part.bytes === 0) {\n          // It is',
    broken: true,
  },
  {
    name: 'hands on cleanly what the session does not say',
    file: 'open-upload.ts',
    find: 'this.hold.unanswered = true\n      throw error',
    replace: 'throw error',
    broken: true,
  },
  {
    name: 'raises no generation when it takes over',
    file: 'recovery.ts',
    find: 'generation: read.generation, raise: true, from',
    replace: 'generation: read.generation, from',
    broken: true,
  },
  {
    name: 'goes on with the open multipart upload of a holder that is not known to be done',
    file: 'opening.ts',
    find: "if (taken.kind === 'clean') {",
    replace: "if (taken.kind === 'clean' || taken.kind === 'unclean') {",
    broken: true,
  },
  {
    name: 'names tails without the token of their hold',
    file: 'keys.ts',
    find: 'tail.token}-',
    replace: 'tail.token.slice(0, 0)}0-',
    broken: true,
  },
  {
    name: 'finishes once more what is finished',
    file: 'states.ts',
    find: "uploaded: ['processing', 'terminated', 'erased'],",
    replace: "uploaded: ['uploaded', 'finishing', 'processing', 'terminated', 'erased'],",
    broken: true,
  },
  {
    name: 'forgets the tails before a small file',
    file: 'appender.ts',
    find: 'const before = await this.#open.tailBytes()',
    replace: 'const before = NO_BYTES',
    broken: false,
  },
  {
    name: 'shows the whole length before there is an object',
    file: 'inspecting.ts',
    find: 'if (offset !== null && offset !== row.length) return',
    replace: 'if (offset !== null) return',
    broken: false,
  },
  {
    name: 'keeps what is too long',
    file: 'appender.ts',
    find: "if (end === 'overrun') this.#intake.take(this.#intake.bytes).release(true)",
    replace: '',
    broken: false,
  },
  {
    name: 'leaves a session behind a refused request',
    file: 'open-upload.ts',
    find: "const drop = how === 'drop' || !this.saved",
    replace: "if (!this.saved && !this.hold.lost) await this.save({})\n    const drop = how === 'drop'",
    broken: false,
  },
  {
    name: 'rolls a segment and drops the tail behind it',
    file: 'segments.ts',
    find: 'await open.save({ multipartId: null, start: segment.end })',
    replace: 'await open.save({ multipartId: null, start: segment.end, offset: segment.end, tails: [] })',
    broken: false,
  },
  {
    name: 'writes a tail across the end of a part',
    file: 'appender.ts',
    find: ' && count < this.#untilFull()',
    replace: '',
    broken: false,
  },
]
