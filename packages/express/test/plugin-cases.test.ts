import { testPlugin } from '../../../conformance/plugin-cases.ts';
import { frameworks } from './express.ts';

frameworks.forEach(testPlugin);
