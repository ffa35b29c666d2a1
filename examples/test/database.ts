import { seededFile, temporaryFile } from './examples.ts';

/** What an example gets to know of its database. Here it is a file. */
export interface Database {
  readonly filename: string;
}

/** Whether there can be no such database on this platform. */
export const missing: boolean = false;

/** A database with the tiny scale in it. */
export async function seededDatabase(): Promise<Database> {
  return { filename: await seededFile() };
}

export async function emptyDatabase(): Promise<Database> {
  return { filename: await temporaryFile() };
}

/** A database that cannot be opened. */
export async function nowhere(): Promise<Database> {
  return { filename: await temporaryFile('no/such/directory/social.db') };
}
