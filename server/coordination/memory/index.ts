/** The in-process driver of the coordination port. */
export {
  createMemoryCoordination,
  type MemoryCoordinationOptions,
  MemoryState,
  type MemoryStateOptions,
} from './coordination.ts'
