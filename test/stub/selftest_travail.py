"""Checks of marche_travail.py: every indicator and every reference list.  selftest.py runs them."""

BASE = "/partenaire/stats-offres-demandes-emploi/v1"
INDICATOR = BASE + "/indicateur/"
REF = BASE + "/referentiel"


class TravailChecks:
    def test_every_reference_list(self):
        """A list, its part by type, one object; the type lists; what does not exist is 204."""
        token = self.stub.access().json["access_token"]

        def get(path):
            return self.stub.call("/marche_travail" + REF + path, token=token)
        for name, kind, code in (("Territoire", "DEP", "2A"), ("Activite", "NAF88", "02"), ("Periode", "TRIMESTRE", "2025T4"),
                                 ("Nomenclature", "CATCAND", "MOIS%20EN%20COURS"), ("Caracteristique", "NIVEXP7T", "exp2")):
            low = name.lower()
            whole, part = get(f"/{low}s").json[f"{low}s"], get(f"/{low}s/{kind}").json[f"{low}s"]
            self.assertEqual(part, [row for row in whole if row[f"codeType{name}"] == kind], name)
            single = get(f"/{low}?codeType{name}={kind}&code{name}={code}")
            self.assertIn(single.json, part, name)
            self.assertEqual(get(f"/{low}?codeType{name}={kind}&code{name}=NIHIL").status, 204, name)
            self.assertEqual(get(f"/{low}?codeType{name}={kind}").status, 400, name)
            kinds = get(f"/type-{low}s").json[f"type{name}s"]
            self.assertEqual({row[f"codeType{name}"] for row in whole} - {row[f"codeType{name}"] for row in kinds}, set(), name)
            self.assertIn(get(f"/type-{low}/{kind}").json, kinds, name)
            self.assertEqual(get(f"/type-{low}/NIHIL").status, 204, name)
        self.assertEqual([row["codePeriode"] for row in get("/periodes/ANNEE?nbPeriode=2").json["periodes"]], ["2030", "2029"])
        self.assertEqual(get("/territoires-communes/COM?filtreTerritoire=35238").json["territoiresCommunes"][0]["codeTerritoireParentBassin"], "5312")
        self.assertEqual(get("/rechercherActivitesRomeFap?codeRome=J1506").json["romeFapList"][0]["codeFap"], "X150Z")
        slim, whole = get("/indicateurs").json["listeIndicateurs"], get("/details-indicateurs").json["listeIndicateurs"]
        self.assertEqual(len(slim), len(whole))
        self.assertNotIn("listeCroisementsIndicateur", slim[0])
        self.assertEqual(get("/details-indicateurs?codeIndicateur=DE_5").json["listeIndicateurs"], [row for row in whole if row["codeIndicateur"] == "DE_5"])
        self.assertEqual([row["codeIndicateur"] for row in get("/famille-indicateur/DEMANDEURS").json["listeIndicateurs"]], ["DE_1", "DE_5"])

    def indicator(self, path, **changes):
        body = {"codeTypeTerritoire": "REG", "codeTerritoire": "53", "codeTypeActivite": "CUMUL", "codeActivite": "CUMUL",
                "codeTypePeriode": "TRIMESTRE", "codeTypeNomenclature": "CATCAND"} | changes
        return self.stub.call("/marche_travail" + INDICATOR + path, "POST", token=self.stub.access().json["access_token"],
                              body={name: value for name, value in body.items() if value is not None})

    def test_counts_and_characteristics(self):
        whole = self.indicator("stat-demandeurs").json["listeValeursParPeriode"]
        self.assertEqual([row["codeNomenclature"] for row in whole[:10]], ["A", "ABC", "ABCDE", "ABCDEFG", "B", "C", "D", "E", "F", "G"])
        self.assertTrue(all(row["valeurPrincipaleNombre"] % 10 == 0 and row["listeValeurParCaract"] for row in whole))
        bare = self.indicator("stat-demandeurs", sansCaracteristiques=True).json["listeValeursParPeriode"]
        self.assertEqual(bare, [{name: value for name, value in row.items() if name != "listeValeurParCaract"} for row in whole])
        some = self.indicator("stat-demandeurs", listeCodePeriode=["2025T1", "2024T4"], listeCodeNomenclature=["B", "A"]).json["listeValeursParPeriode"]
        self.assertEqual([(row["codePeriode"], row["codeNomenclature"]) for row in some],
                         [("2025T1", "A"), ("2025T1", "B"), ("2024T4", "A"), ("2024T4", "B")])
        old = self.indicator("stat-demandeurs", codeTypeTerritoire="BASBMO", codeTerritoire="1126", dernierePeriode=True).json["listeValeursParPeriode"]
        self.assertEqual((len(old), old[0]["listeValeurParCaract"][0]["libCaract"]), (7, "Homme"))
        self.assertNotIn("masque", old[0]["listeValeurParCaract"][0])
        offers = self.indicator("stat-offres", codeTypeNomenclature="ORIGINEOFF", dernierePeriode=True).json["listeValeursParPeriode"]
        deciles = [row["codeNomenclature"] for row in offers if any(one["codeCaract"] == "SAL_D90" for one in row["listeValeurParCaract"])]
        bare = [one for one in offers[0]["listeValeurParCaract"] if "nombre" not in one and "pourcentage" not in one]
        self.assertEqual((deciles, [one["codeCaract"] for one in bare]), (["PE"], ["SAL_TR1"]))
        one = {"codeTypeCaracteristique": "AGE", "codeCaracteristique": "AGE1", "libelleCaracteristique": "x"}
        asked = self.indicator("stat-demandeurs", dernierePeriode=True, listeCaracteristiques=[one]).json["listeValeursParPeriode"]
        self.assertEqual([part["codeCaract"] for part in asked[0]["listeValeurParCaract"]], ["AGE1"])
        del one["libelleCaracteristique"]
        self.assertEqual(self.indicator("stat-demandeurs", listeCaracteristiques=[one]).status, 400)

    def test_catalogue_of_indicators(self):
        """What is published, and what is refused; months; the newest quarter of each."""
        by_month = {"codeTypePeriode": "MOIS", "codeTypeActivite": "ROME", "codeActivite": "K1304", "dernierePeriode": True}
        rows = self.indicator("stat-demandeurs-entrant", codeTypeTerritoire="AGC", codeTerritoire="35012", **by_month).json["listeValeursParPeriode"]
        self.assertEqual([(row["codePeriode"], row["codeNomenclature"]) for row in rows], [("2025M12", "CUMUL 12 MOIS"), ("2025M12", "MOIS EN COURS")])
        for path, changes in (("stat-demandeurs", {"codeTypeTerritoire": "COM", "codeTerritoire": "35238"}), ("stat-demandeurs", {"codeTypePeriode": "MOIS"}),
                              ("stat-demandeurs", {"codeTypeNomenclature": "ORIGINEOFF"}), ("stat-embauches", {"codeTypeNomenclature": "CATCANDxDUREEEMP", "codeTypeActivite": "DOMAINE"}),
                              ("stat-demandeurs-entrant", {"codeTypeTerritoire": "COM", "codeTerritoire": "35238"}), ("stat-dynamique-emploi", {})):
            reply = self.indicator(path, **changes)
            self.assertEqual(reply.status, 400, changes)
            self.assertIn("n'est pas disponible pour cet indicateur", reply.json["message"])
        hires = self.indicator("stat-embauches", codeTypeNomenclature="CATCANDxDUREEEMP", dernierePeriode=True).json["listeValeursParPeriode"]
        self.assertEqual({row["codePeriode"] for row in hires}, {"2025T3"})
        average = {"codeTypeNomenclature": None, "codeTypeActivite": "MOYENNE", "codeActivite": "MOYENNE", "dernierePeriode": True}
        row = self.indicator("stat-dynamique-emploi", **average).json["listeValeursParPeriode"][0]
        self.assertIn(row["valeurPrincipaleNom"], list("12345"))
        self.assertNotIn("codeNomenclature", row)
        row = self.indicator("stat-dynamique-emploi", codeTypeTerritoire="NAT", codeTerritoire="FR", **average).json["listeValeursParPeriode"][0]
        self.assertIsInstance(row["valeurPrincipaleNombre"], int)
        self.assertEqual(self.indicator("stat-offres", codeTypeNomenclature=None).status, 400)
        self.assertEqual(self.indicator("stat-offres", codeTypeNomenclature="ORIGINEOFF", codeTypeTerritoire="DEP", codeTerritoire="977").status, 204)

    def test_salaries(self):
        token = self.stub.access().json["access_token"]

        def get(path):
            return self.stub.call("/marche_travail" + INDICATOR + "salaire-rome-fap/" + path, token=token)
        body = get("NAT/FR?codeRome=J1506").json
        self.assertNotIn("codeIndicateur", body)
        self.assertEqual(body["valeursParPeriode"][0]["codeActivite"], "X150Z")
        self.assertEqual([value["codeNomenclature"] for value in body["valeursParPeriode"][0]["salaireValeurMontant"]], ["SAL1", "SAL2", "SAL3"])
        self.assertNotIn("valeursParPeriode", get("REG/06?codeRome=J1506").json)
        self.assertEqual([get(path).status for path in ("NAT/FR", "DEP/35?codeRome=J1506", "NAT/FR?codeRome=Z9999")], [400, 400, 500])
