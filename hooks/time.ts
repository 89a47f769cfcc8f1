/** Waits for `promise` at most `ms`. True: it settled (either way) in time. Leaves no timer behind. */
export async function settledWithin(promise: Promise<unknown>, ms: number): Promise<boolean> {
  const { promise: timeUp, resolve } = Promise.withResolvers<boolean>()
  const timer = setTimeout(() => resolve(false), ms)
  const settled = promise.then(
    () => true,
    () => true,
  )
  try {
    return await Promise.race([settled, timeUp])
  } finally {
    clearTimeout(timer)
  }
}

/** The result of `promise`, or a rejection with `message` after `ms`. What it does then goes on unheeded. */
export async function within<T>(promise: Promise<T>, ms: number, message: string): Promise<T> {
  const { promise: timeUp, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(message)), ms)
  try {
    return await Promise.race([promise, timeUp])
  } finally {
    clearTimeout(timer)
  }
}

/** Like {@link within}, with a signal that tells the call when it is given up. A call that throws at once rejects too. */
export async function bounded<T>(
  call: (signal: AbortSignal) => T | Promise<T>,
  ms: number,
  message: string,
): Promise<T> {
  const abort = new AbortController()
  try {
    return await within((async () => call(abort.signal))(), ms, message)
  } catch (error) {
    abort.abort(error)
    throw error
  }
}
