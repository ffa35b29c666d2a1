import { testPlugin } from '../../../conformance/plugin-cases.ts';
import { frameworks } from './fastify.ts';

frameworks.forEach(testPlugin);
