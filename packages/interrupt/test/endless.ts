/** Never ends; calls started() once it has begun. */
export const ENDLESS: string =
  'WITH RECURSIVE n (i) AS (SELECT started() UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n';
