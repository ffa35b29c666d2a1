import { leaseCases } from '../../../conformance/lease-cases.ts';
import { framework } from './hono.ts';

leaseCases(framework);
