"""The sources' own label names, spelled as in their tables."""

CHEXPERT_LABELS = (
    "No Finding",
    "Enlarged Cardiomediastinum",
    "Cardiomegaly",
    "Lung Opacity",
    "Lung Lesion",
    "Edema",
    "Consolidation",
    "Pneumonia",
    "Atelectasis",
    "Pneumothorax",
    "Pleural Effusion",
    "Pleural Other",
    "Fracture",
    "Support Devices",
)
"""What the CheXpert labeler looks for in a report (CheXpert and MIMIC-CXR)."""

CHEXPERT_VALUES = (1.0, 0.0, -1.0)
"""Present, absent and uncertain; a blank cell means not mentioned."""

CHESTXRAY14_LABELS = (
    "Atelectasis",
    "Cardiomegaly",
    "Consolidation",
    "Edema",
    "Effusion",
    "Emphysema",
    "Fibrosis",
    "Hernia",
    "Infiltration",
    "Mass",
    "No Finding",
    "Nodule",
    "Pleural_Thickening",
    "Pneumonia",
    "Pneumothorax",
)

VINDR_LOCAL_LABELS = (
    "Aortic enlargement",
    "Atelectasis",
    "Calcification",
    "Cardiomegaly",
    "Clavicle fracture",
    "Consolidation",
    "Edema",
    "Emphysema",
    "Enlarged PA",
    "ILD",
    "Infiltration",
    "Lung Opacity",
    "Lung cavity",
    "Lung cyst",
    "Mediastinal shift",
    "Nodule/Mass",
    "Pleural effusion",
    "Pleural thickening",
    "Pneumothorax",
    "Pulmonary fibrosis",
    "Rib fracture",
    "Other lesion",
)
VINDR_GLOBAL_LABELS = ("COPD", "Lung tumor", "Pneumonia", "Tuberculosis", "Other diseases", "No finding")
VINDR_LABELS = VINDR_LOCAL_LABELS + VINDR_GLOBAL_LABELS

VINDR_SPELLINGS = {"Other diseases": ("Other disease",)}
"""Spellings of the same label in other copies of the tables."""

VINBIGDATA_LABELS = (
    "Aortic enlargement",
    "Atelectasis",
    "Calcification",
    "Cardiomegaly",
    "Consolidation",
    "ILD",
    "Infiltration",
    "Lung Opacity",
    "Nodule/Mass",
    "Other lesion",
    "Pleural effusion",
    "Pleural thickening",
    "Pneumothorax",
    "Pulmonary fibrosis",
    "No finding",
)
"""The labels that the Kaggle copy of VinDr-CXR's training set kept."""

SHENZHEN_LABELS = ("Normal", "Tuberculosis")
"""What the last digit of a Shenzhen file name says: `_0` and `_1`."""

SIIM_ACR_LABELS = ("Pneumothorax",)
