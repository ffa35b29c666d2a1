/**
 * The code of a worker. In the repository it is a file, which Node.js reads as it is. The build replaces it by the text
 * of the bundled worker (tsup.config.ts), because not every bundler of applications keeps the URL of a file valid.
 */
export const WORKER_CODE: string | URL = new URL('./inside/main.ts', import.meta.url);
