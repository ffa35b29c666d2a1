import request from 'supertest';

export interface Answer {
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly body: unknown;
}

export async function get(url: string): Promise<Answer> {
  return request(url).get('');
}

/** Posts JSON; a string is sent as it is. */
export async function post(url: string, body: object | string): Promise<Answer> {
  return request(url).post('').type('json').send(body);
}
