import { slowClientCases } from '../../../conformance/slow-client-cases.ts';
import { framework } from './hono.ts';

slowClientCases(framework);
