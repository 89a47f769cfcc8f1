/** Something that a person has to put right before the service can start. The message says what; no stack helps. */
export class StartFault extends Error {
  constructor(message: string, cause: unknown) {
    super(message, { cause })
    this.name = 'StartFault'
  }
}

/** Why a server cannot listen, in a sentence; any other error as it is. */
export function cannotListen(error: unknown, host: string, port: number): unknown {
  const code = error instanceof Error && 'code' in error ? error.code : null
  switch (code) {
    case 'EADDRINUSE':
      return new StartFault(
        `Port ${port} of ${host} is in use. Stop what listens there, or give another port: PORT=${port < 65_535 ? port + 1 : port - 1}`,
        error,
      )
    case 'EACCES':
      return new StartFault(`Port ${port} of ${host} is not for this user: give a PORT of 1024 or more`, error)
    case 'EADDRNOTAVAIL':
      return new StartFault(
        `HOST is "${host}", which is no address of this machine: give one, or 0.0.0.0 for all`,
        error,
      )
    case 'ENOTFOUND':
      return new StartFault(`HOST is "${host}", a name that nobody knows: give an address of this machine`, error)
    default:
      return error
  }
}
