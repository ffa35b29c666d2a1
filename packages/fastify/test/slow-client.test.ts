import { slowClientCases } from '../../../conformance/slow-client-cases.ts';
import { framework } from './fastify.ts';

slowClientCases(framework);
