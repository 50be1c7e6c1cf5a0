/*-------------------------------------------------------------------------
 *
 * json_mutate.h
 *		Mutations of JSON documents that leave them JSON.
 *
 * A document of bytes changed at random is seldom one: what lies behind the
 * parser would hardly be reached.
 *
 *-------------------------------------------------------------------------
 */
#ifndef JSON_MUTATE_H
#define JSON_MUTATE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

extern size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);

static uint64_t mutate_state;

static uint32_t
mutate_random(size_t below)
{
	mutate_state = mutate_state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t) (mutate_state >> 33) % (below > 0 ? below : 1);
}

/* The value in a tree that a countdown ends at; its holder and its place. */
typedef struct MutateSpot
{
	size_t		countdown;
	json_t	   *holder;			/* NULL: the root */
	const char *key;			/* in an object */
	size_t		index;			/* in a list */
	json_t	   *value;			/* NULL: not there yet */
} MutateSpot;

static void
mutate_find(json_t *json, json_t *holder, const char *key, size_t index,
			MutateSpot *spot)
{
	json_t	   *member;
	const char *name;
	size_t		i;

	if (spot->value != NULL)
		return;
	if (spot->countdown-- == 0)
	{
		spot->holder = holder;
		spot->key = key;
		spot->index = index;
		spot->value = json;
		return;
	}
	if (json_is_object(json))
		json_object_foreach(json, name, member)
			mutate_find(member, json, name, 0, spot);
	else
		json_array_foreach(json, i, member)
			mutate_find(member, json, NULL, i, spot);
}

static size_t
mutate_count(const json_t *json)
{
	size_t		n = 1;
	json_t	   *member;
	const char *name;
	size_t		i;

	if (json_is_object(json))
		json_object_foreach((json_t *) json, name, member)
			n += mutate_count(member);
	else
		json_array_foreach(json, i, member)
			n += mutate_count(member);
	return n;
}

static MutateSpot
mutate_spot(json_t *root)
{
	MutateSpot	spot = {0};

	spot.countdown = mutate_random(mutate_count(root));
	mutate_find(root, NULL, NULL, 0, &spot);
	return spot;
}

/* A small value, often one of the words given (which end with NULL). */
static json_t *
mutate_atom(const char *const *words)
{
	static const char *const texts[] = {
		"", "a", "a.b", "a[].b", "[]", ".", "..", "/", "{a}", "/{a}/{b}",
		"é", "(", "-1", "0", "%s%n", "a\nb", "text[]", "https://a.example"
	};
	static const double numbers[] = {
		0, -1, 1, 2, 3, 100, 2147483647, 2147483648.0, -2147483648.0, 1e18, 0.5
	};
	size_t		nwords = 0;
	size_t		i;
	double		number;

	while (words[nwords] != NULL)
		nwords++;
	switch (mutate_random(10))
	{
		case 0:
			return json_null();
		case 1:
			return json_boolean(mutate_random(2));
		case 2:
		case 3:
			i = mutate_random(sizeof(numbers) / sizeof(*numbers));
			number = numbers[i];
			return number == (double) (json_int_t) number
				? json_integer((json_int_t) number) : json_real(number);
		case 4:
			return json_array();
		case 5:
			return json_object();
		case 6:
			return json_string(texts[mutate_random(sizeof(texts) /
												   sizeof(*texts))]);
		default:
			return json_string(words[mutate_random(nwords)]);
	}
}

/* A text changed as libFuzzer changes bytes; itself when that is not UTF-8. */
static json_t *
mutate_text(const json_t *text)
{
	char		bytes[256];
	size_t		len = json_string_length(text);
	json_t	   *changed = NULL;

	if (len < sizeof(bytes))
	{
		memcpy(bytes, json_string_value(text), len);
		len = LLVMFuzzerMutate((uint8_t *) bytes, len, sizeof(bytes));
		changed = json_stringn(bytes, len);
	}
	return changed ? changed : json_deep_copy(text);
}

/* Put a value (whose reference is taken over) in the place of another. */
static json_t *
mutate_put(json_t *root, const MutateSpot *spot, json_t *value)
{
	if (spot->holder == NULL)
	{
		json_decref(root);
		return value;
	}
	if (spot->key != NULL)
		json_object_set_new(spot->holder, spot->key, value);
	else
		json_array_set_new(spot->holder, spot->index, value);
	return root;
}

/*
 * One change of a document; other: where values may be taken from.  The
 * document is given up, and what is made of it the result.
 */
static json_t *
mutate_json(json_t *root, const json_t *other, const char *const *words)
{
	MutateSpot	spot = mutate_spot(root);
	MutateSpot	from = mutate_spot((json_t *) other);
	json_t	   *copy = json_deep_copy(from.value);
	json_t	   *wrapped;
	size_t		at = json_array_size(spot.value);
	size_t		nwords = 0;

	while (words[nwords] != NULL)
		nwords++;
	switch (mutate_random(7))
	{
		case 0:					/* one that is elsewhere */
			return mutate_put(root, &spot, copy);
		case 1:					/* gone */
			if (spot.holder != NULL && spot.key != NULL)
				json_object_del(spot.holder, spot.key);
			else if (spot.holder != NULL)
				json_array_remove(spot.holder, spot.index);
			break;
		case 2:					/* one more */
			if (json_is_object(spot.value))
				json_object_set(spot.value, from.key ? from.key
								: words[mutate_random(nwords)], copy);
			else if (json_is_array(spot.value))
				json_array_insert(spot.value, mutate_random(at + 1), copy);
			break;
		case 3:					/* another word for a name */
			if (spot.key != NULL)
				json_object_set(spot.holder, words[mutate_random(nwords)],
								spot.value);
			break;
		case 4:					/* wrapped */
			wrapped = json_array();
			json_array_append(wrapped, spot.value);
			json_decref(copy);
			return mutate_put(root, &spot, wrapped);
		case 5:
			json_decref(copy);
			return mutate_put(root, &spot, json_is_string(spot.value)
							  ? mutate_text(spot.value) : mutate_atom(words));
		default:
			json_decref(copy);
			return mutate_put(root, &spot, mutate_atom(words));
	}
	json_decref(copy);
	return root;
}

#endif							/* JSON_MUTATE_H */
