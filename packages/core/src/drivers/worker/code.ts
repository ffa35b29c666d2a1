/**
 * What a worker runs: in the repository its file, which Node.js reads as it is. The build puts the text of the bundled worker here
 * instead (tsup.config.ts), because a URL of a file does not survive every bundler of applications.
 */
export const WORKER_CODE: string | URL = new URL('./inside/main.ts', import.meta.url);
