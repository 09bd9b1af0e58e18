// Translation between the client's GraphQL documents and the engine's JSON protocol.
import { parse as parseGraphql } from 'graphql';

// Inside a Json filter these take plain strings; every other string in a Json position is a JSON text.
const PLAIN_JSON_FILTERS = new Set(['path', 'mode', 'string_contains', 'string_starts_with', 'string_ends_with']);
// A model may have a field of the same name (`data`); under an argument list, a relation or a nested write the operator is meant.
const OPERATORS = new Set(['where', 'data', 'create', 'update']);
const NESTED_WRITES = new Set(['update', 'updateMany', 'upsert', 'createMany', 'connectOrCreate']);
const RAW_OPERATION = /^(queryRaw|executeRaw)$/;
const MODEL_OPERATION =
  /^(findUnique|findFirst|findMany|createOne|createMany|updateOne|updateMany|upsertOne|deleteOne|deleteMany|aggregate|groupBy)(.+?)(OrThrow)?$/;

/**
 * @param {string} datamodel text of schema.prisma
 * @returns {Map<string, Map<string, string>>} model name -> field name -> type name
 */
export function readModels(datamodel) {
  const models = new Map();
  let fields;
  for (const line of datamodel.split('\n')) {
    const [, keyword, name] = line.match(/^\s*(model|enum|type|view|datasource|generator)\s+(\w+)\s*\{/) ?? [];
    if (keyword) {
      fields = new Map();
      if (keyword === 'model') models.set(name, fields);
    }
    const [, field, type] = line.match(/^\s*(\w+)\s+(\w+)/) ?? [];
    if (field && !keyword) fields?.set(field, type);
  }
  return models;
}

/** Renders GraphQL arguments straight to JSON text, so that 64-bit integers and decimals keep every digit. */
class ArgumentRenderer {
  constructor(models) {
    this.models = models;
  }

  /** `type` is the model or scalar type the value belongs to, as far as the data model tells. */
  value(node, type, underOperator) {
    switch (node.kind) {
      case 'IntValue':
      case 'FloatValue':
        return node.value;
      case 'StringValue': // GraphQL carries Json as JSON text, the JSON protocol wants that text tagged
        return type === 'Json' ? `{"$type":"Json","value":${JSON.stringify(node.value)}}` : JSON.stringify(node.value);
      case 'EnumValue':
        return JSON.stringify(node.value);
      case 'BooleanValue':
        return String(node.value);
      case 'NullValue':
        return 'null';
      case 'ListValue':
        return `[${node.values.map((item) => this.value(item, type, underOperator)).join(',')}]`;
      case 'ObjectValue':
        return this.object(node.fields, type, underOperator);
      default:
        throw new Error(`Unsupported GraphQL value: ${node.kind}`);
    }
  }

  object(members, type, operatorsWin) {
    const rendered = members.map(({ name: { value: key }, value }) => {
      const isOperator = operatorsWin && OPERATORS.has(key);
      const memberType = isOperator ? type : this.typeOf(key, type);
      const isRelation = memberType !== type && this.models.has(memberType);
      return `"${key}":${this.value(value, memberType, isRelation || (operatorsWin && NESTED_WRITES.has(key)))}`;
    });
    return `{${rendered.join(',')}}`;
  }

  /** Keys that are not fields (where, data, create, AND, set, in, ...) stay with the enclosing type. */
  typeOf(key, type) {
    if (type === 'Json') return PLAIN_JSON_FILTERS.has(key) ? 'String' : 'Json';
    return this.models.get(type)?.get(key) ?? type;
  }

  fieldBody(field, type) {
    return `{"arguments":${this.object(field.arguments, type, true)},"selection":${this.selection(field.selectionSet, type)}}`;
  }

  selection(selectionSet, type) {
    const entries = (selectionSet?.selections ?? []).map((field) => {
      const isPlain = !field.selectionSet && field.arguments.length === 0;
      return `"${field.name.value}":${isPlain ? 'true' : this.fieldBody(field, this.typeOf(field.name.value, type))}`;
    });
    return `{${entries.join(',')}}`;
  }
}

/** `findUniqueUserOrThrow` -> { action: 'findUniqueOrThrow', modelName: 'User' } */
function splitOperation(name, models) {
  if (RAW_OPERATION.test(name)) return { action: name };
  const [, verb, rest, orThrow = ''] = MODEL_OPERATION.exec(name) ?? [];
  if (!verb) throw new Error(`Unsupported operation: ${name}`);
  if (orThrow && models.has(rest + orThrow)) return { action: verb, modelName: rest + orThrow }; // really named so
  return { action: verb + orThrow, modelName: rest };
}

/**
 * @param {string} source a GraphQL document; the client always sends one root field
 * @param {Map<string, Map<string, string>>} models from `readModels`
 * @returns {{key: string, isRaw: boolean, text: string}} the request text and the name the answer goes by
 */
export function translateDocument(source, models) {
  const { definitions } = parseGraphql(source, { noLocation: true });
  const selections = definitions[0].selectionSet.selections;
  if (definitions.length !== 1 || selections.length !== 1) throw new Error('Expected exactly one root field');
  const [field] = selections;
  const { action, modelName } = splitOperation(field.name.value, models);
  const model = modelName ? `"modelName":${JSON.stringify(modelName)},` : '';
  return {
    key: field.alias?.value ?? field.name.value,
    isRaw: !modelName,
    text: `{${model}"action":"${action}","query":${new ArgumentRenderer(models).fieldBody(field, modelName)}}`,
  };
}

/** The JSON protocol tags DateTime, BigInt, Json, Decimal, ...; GraphQL answers carry the bare value. */
function unwrapTagged(value) {
  if (Array.isArray(value)) return value.map(unwrapTagged);
  if (value === null || typeof value !== 'object') return value;
  if (typeof value.$type === 'string' && 'value' in value) return value.value;
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, unwrapTagged(member)]));
}

/**
 * @param {object} answer of the engine to `request`
 * @param {{key: string, isRaw: boolean}} request from `translateDocument`
 * @returns {object} the same answer as GraphQL; raw results keep their tags, the client reads those
 */
export function restoreAnswer(answer, request) {
  if (!answer.data) return answer;
  const [result] = Object.values(answer.data);
  return { ...answer, data: { [request.key]: request.isRaw ? result : unwrapTagged(result) } };
}
