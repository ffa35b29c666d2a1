import { slowClientCases } from '../../../conformance/slow-client-cases.ts';
import { frameworks } from './express.ts';

frameworks.forEach(slowClientCases);
